#include "textflag.h"

// func prefetch(p unsafe.Pointer, sizeBytes int)
TEXT ·prefetch(SB), NOSPLIT, $0-16
	MOVQ p+0(FP), AX
	MOVQ sizeBytes+8(FP), CX

loop:
	PREFETCHT0 (AX)
	ADDQ $64, AX
	SUBQ $64, CX
	JGT  loop
	RET
