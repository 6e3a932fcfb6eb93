package main

import (
	"fmt"
	"os"
	"path"
	"strings"
)

// A client is a version of the client that the server must understand.
type client struct {
	version  string
	released string
	why      string
}

func versionsOf(clients []client) []string {
	var list []string
	for _, c := range clients {
		list = append(list, c.version)
	}
	return list
}

// readClients reads lines of version, date of release and reason.
func readClients(name string) ([]client, error) {
	var list []client
	err := readLines(name, 3, func(fields []string) error {
		list = append(list, client{fields[0], fields[1], fields[2]})
		return nil
	})
	if err == nil && len(list) == 0 {
		err = fmt.Errorf("%s: lists no client", name)
	}
	return list, err
}

// A gap is a capability that is known not to work, or not all of it.
type gap struct {
	key     string // a capability
	version string // of the client; * = all
	place   string // where the server keeps its records; * = everywhere
	extent  string // "partly" or "not"
	reason  string
}

func readGaps(name string) ([]gap, error) {
	var list []gap
	err := readLines(name, 5, func(f []string) error {
		if f[3] != "partly" && f[3] != "not" {
			return fmt.Errorf("%q: want partly or not", f[3])
		}
		list = append(list, gap{f[0], f[1], f[2], f[3], f[4]})
		return nil
	})
	return list, err
}

// find returns the gap of a capability, or nil.
func find(gaps []gap, key, version, place string) *gap {
	for i, g := range gaps {
		if g.key == key && (g.version == "*" || g.version == version) && (g.place == "*" || g.place == place) {
			return &gaps[i]
		}
	}
	return nil
}

// readLines calls each with the fields of every line, n of them; the last is
// the rest of the line. Empty lines and those that begin with # say nothing.
func readLines(name string, n int, each func(fields []string) error) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	for i, line := range strings.Split(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		var fields []string
		for range n - 1 {
			field, rest, _ := strings.Cut(line, " ")
			fields, line = append(fields, field), strings.TrimSpace(rest)
		}
		if line == "" {
			return fmt.Errorf("%s:%d: want %d fields", name, i+1, n)
		}
		if err := each(append(fields, line)); err != nil {
			return fmt.Errorf("%s:%d: %w", name, i+1, err)
		}
	}
	return nil
}

// matches reports whether one of some patterns, with commas between, fits.
func matches(patterns, key string) bool {
	for pattern := range strings.SplitSeq(patterns, ",") {
		if ok, err := path.Match(pattern, key); err == nil && ok {
			return true
		}
	}
	return false
}
