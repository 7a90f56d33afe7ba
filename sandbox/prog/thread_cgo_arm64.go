//go:build cgo

package prog

// threadPointer returns TPIDR_EL0.
//
//go:nosplit
//go:noescape
func threadPointer() uintptr

// keepThreadPointer: see thread_cgo_amd64.go.
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepThreadPointer(k *kept) {
	tp := threadPointer()
	k.keep[keepThread] = span{(tp &^ (stackPage - 1)) - 4*stackPage, (tp &^ (stackPage - 1)) + 4*stackPage}
}
