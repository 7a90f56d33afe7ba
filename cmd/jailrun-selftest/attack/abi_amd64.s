#include "textflag.h"

// func int80(number, a, b uintptr) uintptr
TEXT ·int80(SB), NOSPLIT, $0-32
	MOVQ number+0(FP), AX
	MOVQ a+8(FP), BX
	MOVQ b+16(FP), CX
	XORL DX, DX
	XORL SI, SI
	XORL DI, DI
	INT  $0x80
	MOVQ AX, ret+24(FP)
	RET

// func rdpmc()
TEXT ·rdpmc(SB), NOSPLIT, $0-0
	XORL CX, CX
	BYTE $0x0F; BYTE $0x33
	RET
