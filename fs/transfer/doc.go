// Package transfer carries files into a sandbox before its job runs, and out of
// it when the job is over.
//
// What a job has left is hostile: links to the host's files in the place of a
// result, FIFOs that never answer, sparse files of a terabyte, a million names,
// directories a hundred thousand deep or without any right. So everything here
// goes from descriptor to descriptor, one name at a time, by openat2(2) with
// RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, RESOLVE_NO_MAGICLINKS and, below the
// place that was named, RESOLVE_NO_XDEV; opens nothing but regular files and
// directories, and those without waiting; and counts bytes by apparent size.
//
// Decision: files are read by descriptors of the sandbox's own root, kept from
// before the job ran, after every process in it is dead. A helper inside that
// streams a tar would be a second program to ship and find, and the tar would be
// hostile input to parse. Where the runner has no right to a file (foreign ids,
// mode 000) a process that enters the job's user and mount namespaces opens it,
// and can see nothing but what the job saw ([prog.Desk]).
package transfer
