//go:build !cgo

package prog

// keepThreadPointer has nothing to keep: without cgo nothing registers a
// struct rseq, and no code of the child uses the thread pointer.
//
//go:nosplit
//go:norace
//go:nocheckptr
func keepThreadPointer(*kept) {}
