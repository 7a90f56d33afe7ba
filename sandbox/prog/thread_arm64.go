package prog

// threadPointer returns TPIDR_EL0.
//
//go:nosplit
//go:noescape
func threadPointer() uintptr
