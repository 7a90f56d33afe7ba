// Package jobspec is the file form of a sandbox.Spec: what `jailrun batch` runs.
//
// Here are the rules of that form and the type of its errors; no function of
// this package reads a file.
//
//   - A job file is YAML, and so also JSON. Unknown fields, duplicate ones and
//     wrong units are errors with line and column: a limit with a misspelt name
//     is no limit.
//   - Every flag of `jailrun run` has a field, but for those that give up a
//     protection. A continuous integration server runs the job files of
//     strangers, so what needs --unsafe stands on a command line or nowhere.
//   - A file never reads the environment of its reader by itself.
//   - Input is bounded before it is understood: size, depth, and what aliases
//     unfold to.
//
// Decision: jobspec converts to sandbox.Spec and adds no default that matters
// for safety, so that a job file, a command line and a program that imports
// the library cannot differ in what they leave out.
package jobspec
