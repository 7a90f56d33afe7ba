// Package jobspec is the file form of many sandbox.Specs: what `jailrun batch`
// runs. It decodes a job file, tells what is wrong with it by line and column,
// and makes the jobs of it; it starts none.
//
//   - A job file is YAML, and so also JSON. Unknown fields, duplicate ones and
//     wrong units are errors with line and column: a limit with a misspelt name
//     is no limit.
//   - Every flag of `jailrun run` has a field, but for those that give up a
//     protection. A continuous integration server runs the job files of
//     strangers, so what needs --unsafe stands on a command line or nowhere.
//   - A file never reads the environment of its reader, nor any file that does
//     not lie below its own directory; and no job of a batch that judges sees
//     where the answers lie.
//   - Input is bounded before it is understood: size, depth, and what aliases,
//     variables and matrices unfold to.
//
// [Load] makes a [Batch] of [Instance]s; [Instance.Spec] is the sandbox's
// form of one. The packages below have one subject each: check compares
// outputs, schedule shares the machine, journal keeps what is done, report
// tells it, batch is the loop that joins them.
//
// Decision: jobspec adds no default that matters for safety, so that a job
// file, a command line and a program that imports the library cannot differ in
// what they leave out; its own defaults (a bound on output, no directory where
// answers lie) only take away.
//
// Decision: go.yaml.in/yaml/v3 parses, into its tree of nodes only, and the
// decoder on top is ours: a tree with alias nodes makes the bomb ours to count.
// goccy/go-yaml has columns also in syntax errors, but took 2.6 times as long
// and six times the memory to parse the same 2000 jobs (171 ms and 71 MB).
package jobspec
