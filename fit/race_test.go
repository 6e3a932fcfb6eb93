//go:build race

package fit

const raceDetector = true
