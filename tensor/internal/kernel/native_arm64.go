package kernel

// native returns the vector kernel sets of this CPU: every arm64 has Advanced SIMD.
func native() []Set { return []Set{neon()} }

func neon() Set {
	return assemble("neon", 8, vectors{
		lanes: 4,
		tiles: []tile{
			{8, gemm8x2NEON, gemm8x1NEON},
			{4, gemm4x2NEON, gemm4x1NEON},
			{2, gemm2x2NEON, gemm2x1NEON},
			{1, gemm1x2NEON, gemm1x1NEON},
		},
		moments: columnKernel{momentsNEON, momentsTailNEON, 4},
		sums:    columnKernel{sumsNEON, sumsTailNEON, 4},
		forward: [8]columnKernel{
			{forwardNEON, forwardTailNEON, 4},
			{forwardAffineNEON, forwardAffineTailNEON, 4},
			{forwardReLUNEON, forwardReLUTailNEON, 4},
			{forwardAffineReLUNEON, forwardAffineReLUTailNEON, 4},
			{forwardDropNEON, forwardDropTailNEON, 4},
			{forwardAffineDropNEON, forwardAffineDropTailNEON, 4},
			{forwardReLUDropNEON, forwardReLUDropTailNEON, 4},
			{forwardAffineReLUDropNEON, forwardAffineReLUDropTailNEON, 4},
		},
		backward: [3]columnKernel{
			{backwardNEON, backwardTailNEON, 4},
			{backwardReLUNEON, backwardReLUTailNEON, 4},
			{backwardDropNEON, backwardDropTailNEON, 4},
		},
		stats: [3]columnKernel{
			{statsNEON, statsTailNEON, 4},
			{statsReLUNEON, statsReLUTailNEON, 4},
			{statsDropNEON, statsDropTailNEON, 4},
		},
		apply:   columnKernel{applyNEON, applyTailNEON, 4},
		sgd:     [3]flatKernel{{sgdNEON, sgdTailNEON}, {sgdMomentumNEON, sgdMomentumTailNEON}, {sgdNesterovNEON, sgdNesterovTailNEON}},
		adam:    [2]flatKernel{{adamNEON, adamTailNEON}, {amsgradNEON, amsgradTailNEON}},
		rmsprop: [2]flatKernel{{rmspropNEON, rmspropTailNEON}, {rmspropMomentumNEON, rmspropMomentumTailNEON}},
	})
}
