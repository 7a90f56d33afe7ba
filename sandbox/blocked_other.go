//go:build !amd64

package sandbox

func waitsForSeveral(int) bool { return false }
