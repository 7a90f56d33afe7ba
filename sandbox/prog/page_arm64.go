package prog

// stackPage is a multiple of every page size of the architecture: kernels for
// arm64 are built with pages of 4, 16 or 64 KiB.
const stackPage = 65536
