package kernel

import (
	"golang.org/x/sys/cpu"
)

// native returns the vector kernel sets of this CPU, fastest first. x/sys/cpu
// asks CPUID, and XGETBV for the registers that the system saves.
func native() []Set {
	var sets []Set
	if !cpu.X86.HasAVX2 || !cpu.X86.HasFMA {
		return nil
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VL {
		sets = append(sets, avx512())
	}
	return append(sets, avx2())
}

func avx512() Set {
	return assemble("avx512", 12, vectors{
		lanes: 16, partial: true,
		tiles: []tile{
			{12, gemm12x2AVX512, gemm12x1AVX512},
			{8, gemm8x2AVX512, gemm8x1AVX512},
			{4, gemm4x2AVX512, gemm4x1AVX512},
			{2, gemm2x2AVX512, gemm2x1AVX512},
			{1, gemm1x2AVX512, gemm1x1AVX512},
		},
		transpose: transposeAVX2,
		moments:   columnKernel{momentsAVX512, momentsTailAVX512, 4},
		sums:      columnKernel{sumsAVX512, sumsTailAVX512, 4},
		forward: [8]columnKernel{
			{forwardAVX512, forwardTailAVX512, 4},
			{forwardAffineAVX512, forwardAffineTailAVX512, 4},
			{forwardReLUAVX512, forwardReLUTailAVX512, 4},
			{forwardAffineReLUAVX512, forwardAffineReLUTailAVX512, 4},
			{forwardDropAVX512, forwardDropTailAVX512, 4},
			{forwardAffineDropAVX512, forwardAffineDropTailAVX512, 4},
			{forwardReLUDropAVX512, forwardReLUDropTailAVX512, 4},
			{forwardAffineReLUDropAVX512, forwardAffineReLUDropTailAVX512, 4},
		},
		backward: [3]columnKernel{
			{backwardAVX512, backwardTailAVX512, 4},
			{backwardReLUAVX512, backwardReLUTailAVX512, 4},
			{backwardDropAVX512, backwardDropTailAVX512, 4},
		},
		stats: [3]columnKernel{
			{statsAVX512, statsTailAVX512, 4},
			{statsReLUAVX512, statsReLUTailAVX512, 4},
			{statsDropAVX512, statsDropTailAVX512, 4},
		},
		apply:   columnKernel{applyAVX512, applyTailAVX512, 4},
		sgd:     [3]flatKernel{{sgdAVX512, sgdTailAVX512}, {sgdMomentumAVX512, sgdMomentumTailAVX512}, {sgdNesterovAVX512, sgdNesterovTailAVX512}},
		adam:    [2]flatKernel{{adamAVX512, adamTailAVX512}, {amsgradAVX512, amsgradTailAVX512}},
		rmsprop: [2]flatKernel{{rmspropAVX512, rmspropTailAVX512}, {rmspropMomentumAVX512, rmspropMomentumTailAVX512}},
	})
}

func avx2() Set {
	return assemble("avx2", 6, vectors{
		lanes: 8, partial: true,
		tiles: []tile{
			{6, gemm6x2AVX2, gemm6x1AVX2},
			{4, gemm4x2AVX2, gemm4x1AVX2},
			{2, gemm2x2AVX2, gemm2x1AVX2},
			{1, gemm1x2AVX2, gemm1x1AVX2},
		},
		transpose: transposeAVX2,
		moments:   columnKernel{momentsAVX2, momentsTailAVX2, 4},
		sums:      columnKernel{sumsAVX2, sumsTailAVX2, 4},
		forward: [8]columnKernel{
			{forwardAVX2, forwardTailAVX2, 2},
			{forwardAffineAVX2, forwardAffineTailAVX2, 2},
			{forwardReLUAVX2, forwardReLUTailAVX2, 2},
			{forwardAffineReLUAVX2, forwardAffineReLUTailAVX2, 2},
			{forwardDropAVX2, forwardDropTailAVX2, 1},
			{forwardAffineDropAVX2, forwardAffineDropTailAVX2, 1},
			{forwardReLUDropAVX2, forwardReLUDropTailAVX2, 1},
			{forwardAffineReLUDropAVX2, forwardAffineReLUDropTailAVX2, 1},
		},
		backward: [3]columnKernel{
			{backwardAVX2, backwardTailAVX2, 2},
			{backwardReLUAVX2, backwardReLUTailAVX2, 2},
			{backwardDropAVX2, backwardDropTailAVX2, 1},
		},
		stats: [3]columnKernel{
			{statsAVX2, statsTailAVX2, 2},
			{statsReLUAVX2, statsReLUTailAVX2, 2},
			{statsDropAVX2, statsDropTailAVX2, 1},
		},
		apply:   columnKernel{applyAVX2, applyTailAVX2, 2},
		sgd:     [3]flatKernel{{sgdAVX2, sgdTailAVX2}, {sgdMomentumAVX2, sgdMomentumTailAVX2}, {sgdNesterovAVX2, sgdNesterovTailAVX2}},
		adam:    [2]flatKernel{{adamAVX2, adamTailAVX2}, {amsgradAVX2, amsgradTailAVX2}},
		rmsprop: [2]flatKernel{{rmspropAVX2, rmspropTailAVX2}, {rmspropMomentumAVX2, rmspropMomentumTailAVX2}},
	})
}
