package seccomp

import (
	"encoding/binary"
	"syscall"
)

// An Answer is what a filter returns for a call, one of the kernel's
// SECCOMP_RET_ values.
type Answer uint32

// Allowed says that the call is made.
func (a Answer) Allowed() bool { return a == retAllow }

// Kills says that the filter ends the process.
func (a Answer) Kills() bool { return a == retKillProcess || a == retKillThread }

// Errno is the error with which the call fails, or 0.
func (a Answer) Errno() syscall.Errno {
	if a&retAction == retErrno {
		return syscall.Errno(a & retData)
	}
	return 0
}

const (
	retAction      Answer = 0xffff0000
	retData        Answer = 0x0000ffff
	retKillProcess Answer = 0x80000000
	retKillThread  Answer = 0x00000000
	retErrno       Answer = 0x00050000
	retNotify      Answer = 0x7fc00000
	retAllow       Answer = 0x7fff0000
)

// A Call is what a filter sees: struct seccomp_data without the instruction
// pointer, which no filter of ours looks at.
type Call struct {
	Number, Arch uint32
	Args         [6]uint64
}

// word is the 32-bit word of struct seccomp_data at an offset.
func (c *Call) word(offset uint32) (uint32, bool) {
	switch {
	case offset == 0:
		return c.Number, true
	case offset == 4:
		return c.Arch, true
	case offset >= 16 && offset < 64 && offset%4 == 0:
		v := c.Args[(offset-16)/8]
		if offset%8 == 4 {
			v >>= 32
		}
		return uint32(v), true
	}
	return 0, false
}

// The instructions of filters: what package profile emits, no more.
const (
	opLoad  = 0x20 // BPF_LD | BPF_W | BPF_ABS
	opJump  = 0x05 // BPF_JMP | BPF_JA
	opEqual = 0x15 // BPF_JMP | BPF_JEQ | BPF_K
	opAbove = 0x25 // … BPF_JGT
	opFrom  = 0x35 // … BPF_JGE
	opBits  = 0x45 // … BPF_JSET
	opRet   = 0x06 // BPF_RET | BPF_K

	instruction = 8 // struct sock_filter {u16 code; u8 jt, jf; u32 k}
)

// Evaluate is what a compiled filter answers to a call. ok is false for a
// program that holds anything but loads, jumps and returns, or does not end.
func Evaluate(bpf []byte, c *Call) (a Answer, ok bool) {
	var acc uint32
	le := binary.LittleEndian
	for pc := 0; pc >= 0 && pc+instruction <= len(bpf); pc += instruction {
		i := bpf[pc : pc+instruction]
		k := le.Uint32(i[4:])
		holds := false
		switch le.Uint16(i) {
		case opLoad:
			if acc, ok = c.word(k); !ok {
				return 0, false
			}
			continue
		case opRet:
			return Answer(k), true
		case opJump:
			if k > 1<<16 {
				return 0, false
			}
			pc += int(k) * instruction
			continue
		case opEqual:
			holds = acc == k
		case opAbove:
			holds = acc > k
		case opFrom:
			holds = acc >= k
		case opBits:
			holds = acc&k != 0
		default:
			return 0, false
		}
		if holds {
			pc += int(i[2]) * instruction
		} else {
			pc += int(i[3]) * instruction
		}
	}
	return 0, false
}
