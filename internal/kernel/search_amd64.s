#include "textflag.h"

// func lowerBoundAVX2(p unsafe.Pointer, n int, x uint64) int
//
// It counts the numbers that are less than x, eight at a time. Comparisons of vectors are
// signed, so the highest bit of both sides is turned over first.
TEXT ·lowerBoundAVX2(SB), NOSPLIT, $0-32
	MOVQ p+0(FP), SI
	MOVQ n+8(FP), CX
	MOVQ x+16(FP), R9
	MOVQ $0x8000000000000000, DX
	MOVQ R9, AX
	XORQ DX, AX
	VMOVQ AX, X0
	VPBROADCASTQ X0, Y0
	VMOVQ DX, X1
	VPBROADCASTQ X1, Y1
	VPXOR Y4, Y4, Y4
	VPXOR Y5, Y5, Y5
	SUBQ $8, CX
	JLT  sum

eight:
	VPXOR (SI), Y1, Y2
	VPXOR 32(SI), Y1, Y3
	VPCMPGTQ Y2, Y0, Y2
	VPCMPGTQ Y3, Y0, Y3
	VPSUBQ Y2, Y4, Y4
	VPSUBQ Y3, Y5, Y5
	ADDQ $64, SI
	SUBQ $8, CX
	JGE  eight

sum:
	VPADDQ Y5, Y4, Y4
	VEXTRACTI128 $1, Y4, X5
	VPADDQ X5, X4, X4
	VPSRLDQ $8, X4, X5
	VPADDQ X5, X4, X4
	VMOVQ X4, AX
	VZEROUPPER
	ADDQ $8, CX
	JZ   done

one:
	MOVQ (SI), R8
	CMPQ R8, R9
	ADCQ $0, AX
	ADDQ $8, SI
	DECQ CX
	JNZ  one

done:
	MOVQ AX, ret+24(FP)
	RET
