package prog

// stackPage is a multiple of every page size of the architecture.
const stackPage = 4096
