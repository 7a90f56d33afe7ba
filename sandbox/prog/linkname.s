// This file lets the compiler accept the functions without body in
// fork_unsafe.go, which are linked to the runtime's.
