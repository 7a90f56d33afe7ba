// Package image imports container images into a store of unpacked layers, out
// of which a launch takes a job's root: an OCI layout, what docker save writes,
// the plain tar of a root, or a registry. Importing is the work of the program
// jailrun-image; jailrun itself reads three small files of the store (package
// fs) and mounts what they name.
//
//	layers/NAME   a layer, unpacked once however many images have it
//	images/HEX    the layers of an image in their order, and what it asks for
//
// All that an image says is checked: each document and each layer against its
// digest, compressed and not; each name of an entry; how much comes out. Entries
// are made by descriptor, below the layer, never through a link. A layer gets its
// name in the store when it is whole and on disk, so neither a bad image nor a
// crash leaves a trace there but in tmp, which the next import sweeps.
//
// Files belong to who imports, and have no bit that would give a program rights;
// device nodes are left out, a job has its own /dev. Owners, such bits, devices
// and the attributes that are not kept stand in meta/NAME.ids.
//
// Decision: a whiteout is the character device 0/0, an opaque directory has the
// attribute user.overlay.opaque. Since Linux 5.8 anybody may make that device, as
// root or not, on every kernel that jailrun runs on, and the overlay of a user
// namespace honours both since 5.11 (seen on 6.1 and 6.18). The alternatives:
// whiteouts by attribute need Linux 6.7; unpacking in a user namespace gains
// nothing. Where the store's file system takes neither device nor attribute (a
// store on an overlay, as in most containers; a tmpfs before 6.6) an image is
// flattened into one directory: right on every kernel, but shared with no other.
//
// Decision: all of a layer is written to disk by one syncfs(2) before it gets its
// name. Synchronising file by file takes a multiple of the time; not doing it
// can leave a layer of empty files behind a power cut, which nobody would notice.
//
// Decision: layers are inflated with github.com/klauspost/compress, which
// go-containerregistry needs already, on a goroutine of its own beside the hashes
// and the writing of files.
package image
