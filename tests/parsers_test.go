package tests

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// fuzzed says by which fuzz target each function is tried that makes something
// out of bytes from outside: of a user, of a job, of a file, of the kernel. Both
// are named by directory; a target of the same directory is named alone. * stands
// for every type that has the method. "-" and a reason stand where there is no
// target.
var fuzzed = map[string]string{
	"cmd/internal/sibling.knownResolv":            "FuzzKnownResolv",
	"cmd/internal/sibling.parseAnswer":            "FuzzParseAnswer",
	"cmd/jailrun.request.addBind":                 "FuzzBind",
	"cmd/jailrun.split":                           "FuzzSplit",
	"cmd/jailrun-batch.findRecord":                "FuzzFindRecord",
	"cmd/jailrun-batch.parse":                     "FuzzParse",
	"cmd/jailrun-image.homeOf":                    "- /etc/passwd, which is root's",
	"cmd/jailrun-image.parse":                     "FuzzParse",
	"cmd/internal/netserver.descriptors":          "FuzzRequest",
	"cmd/internal/netserver.parse":                "FuzzParse",
	"cmd/internal/netserver.parseRequest":         "FuzzRequest",
	"cmd/jailrun-seccomp.kernelVersion":           "- uname",
	"cmd/jailrun-seccomp.parse":                   "sandbox/seccomp/profile.FuzzProfile",
	"cmd/jailrun-seccomp.runRecording":            "- a result of jailrun's own, over a pipe",
	"cmd/jailrun-selftest.parse":                  "FuzzParse",
	"cmd/jailrun-selftest/attack.Parse":           "FuzzParse",
	"cmd/jailrun-selftest/attack.posture.mounts":  "- runs inside, as a part of the job",
	"cmd/jailrun-selftest/attack.posture.threads": "- runs inside, as a part of the job",
	"cmd/jailrun.request.addEnvFile":              "FuzzEnvFile",
	"fs.DecodeImage":                              "FuzzDecodeImage",
	"fs.Store.From":                               "FuzzSources",
	"fs.Users.each":                               "FuzzUsers",
	"fs/image.ParseSource":                        "FuzzParseSource",
	"fs/image.Store.addSource":                    "FuzzSourceLine",
	"fs/image.Store.eachSource":                   "FuzzSourceLine",
	"fs/image.Store.references":                   "FuzzSourceLine",
	"fs/image.entryName":                          "FuzzEntryName",
	"fs/image.unpacker.unpack":                    "FuzzUnpack",
	"fs/image.archive.read":                       "FuzzArchive",
	"fs/image.archive.scan":                       "FuzzArchive",
	"fs/image.decodeLayerMeta":                    "FuzzLayerMeta",
	"fs/image.parseSource":                        "FuzzSourceLine",
	"fs/image.userOf":                             "FuzzUserOf",
	"idmap.Names":                                 "FuzzNames",
	"idmap.Parse":                                 "FuzzParse",
	"idmap.ParseFlag":                             "FuzzParseFlag",
	"idmap.ParseSub":                              "FuzzParseSub",
	"idmap.ParseUser":                             "FuzzParseUser",
	"idmap.parseID":                               "FuzzParse",
	"idmap.parseShadowNumber":                     "FuzzParseSub",
	"idmap.parseSubLine":                          "FuzzParseSub",
	"idmap.parseThree":                            "FuzzParse",
	"jobspec.*.decode":                            "FuzzLoad",
	"jobspec.*.parse":                             "FuzzLoad",
	"jobspec.parseSource":                         "FuzzLoad",
	"jobspec/batch.Again":                         "FuzzAgain",
	"jobspec/batch.checkHeader":                   "FuzzAgain",
	"jobspec/batch.runner.resume":                 "FuzzAgain",
	"jobspec/batch.runner.unfinished":             "jobspec/journal.FuzzRead",
	"jobspec/batch.store.cached":                  "FuzzCached",
	"jobspec/journal.read":                        "FuzzRead",
	"jobspec/problem.Package.time":                "FuzzRead",
	"jobspec/problem.Read":                        "FuzzRead",
	"jobspec/report.GitHub":                       "- cuts a text into lines that it writes",
	"jobspec/schedule.Machine":                    "FuzzMachine",
	"jobspec/schedule.memTotal":                   "FuzzMachine",
	"limits.ParseCPU":                             "FuzzParseCPU",
	"limits.ParseDuration":                        "FuzzParseDuration",
	"limits.ParsePressure":                        "FuzzKeyed",
	"limits.ParseSize":                            "FuzzParseSize",
	"limits.cgroup2Mounts":                        "FuzzKeyed",
	"limits.message.readFields":                   "FuzzBusMessage",
	"limits.keyed.get":                            "FuzzKeyed",
	"limits.onV1":                                 "FuzzKeyed",
	"limits.parseCPUSet":                          "FuzzCPUSet",
	"limits.parseDecimal":                         "FuzzParseSize",
	"limits.parseGroupName":                       "FuzzGroupName",
	"limits.parseOOM":                             "FuzzParseOOM",
	"limits.parseRollup":                          "FuzzProcFiles",
	"limits.parseSchedstat":                       "FuzzProcFiles",
	"limits.parseStat":                            "FuzzProcFiles",
	"limits.parseStatm":                           "FuzzProcFiles",
	"limits.parseSysVShm":                         "FuzzProcFiles",
	"limits.parseUint":                            "FuzzCPUSet",
	"limits.v2Path":                               "FuzzKeyed",
	"netslirp.ParseAllow":                         "FuzzParseAllow",
	"netslirp.ParseDriver":                        "FuzzParseDriver",
	"netslirp.ParsePort":                          "FuzzParsePort",
	"netslirp.parsePort":                          "FuzzParsePort",
	"netslirp.parseProto":                         "FuzzParsePort",
	"sandbox.networkEnded":                        "FuzzNetworkEnded",
	"sandbox.parseELF":                            "FuzzParseELF",
	"sandbox.parseSteal":                          "FuzzSteal",
	"sandbox.passwdHome":                          "- /etc/passwd, which is root's",
	"sandbox.serverWords":                         "FuzzServerWords",
	"sandbox/prog.ParseFailure":                   "FuzzMessages",
	"sandbox/prog.ParseReport":                    "FuzzMessages",
	"sandbox/prog.parseAnswer":                    "FuzzMessages",
	"sandbox/prog.standing":                       "- of the kernel; it is compared as a whole",
	"sandbox/seccomp.CallName":                    "- a list that is part of the program",
	"sandbox/seccomp.DecodeEntry":                 "FuzzDecodeEntry",
	"sandbox/seccomp/profile.Decode":              "FuzzDecode",
	"sandbox/seccomp/profile.Parse":               "FuzzProfile",
	"sandbox/seccomp/profile.ParseOCI":            "FuzzOCI",
	"sandbox/seccomp/profile.oci.read":            "FuzzOCI",
	"sandbox/seccomp/profile.oci.readRules":       "FuzzOCI",
	"sandbox/seccomp/profile.parseAction":         "FuzzProfile",
	"sandbox/seccomp/profiles.Numbers":            "- a list that is part of the program",
	"userns.host.status":                          "- of the kernel, about ourselves",
}

// others are targets of what reads nothing, but is handed what others chose.
var others = []string{
	"cmd/jailrun.FuzzEncodeResult", "cmd/jailrun.FuzzTermFilter", "fs/transfer.FuzzSHA256", "fs/transfer.FuzzTarHeader", "jobspec/check.FuzzCompare", "sandbox.FuzzDecide", "sandbox.FuzzErrorText",
	"sandbox/plain.FuzzPrintable", "sandbox/seccomp.FuzzEvaluate", "tests/vm/wire.FuzzRead",
}

// TestParsers: whoever reads bytes from outside has a fuzz target. It finds them
// by their names, and by what they call; the table may have more.
func TestParsers(t *testing.T) {
	t.Parallel()
	s := readSource(t)
	for name := range s.readers {
		if _, ok := fuzzed[name]; !ok && fuzzed[ofAnyType(name)] == "" {
			t.Errorf("%s reads bytes from outside and is not in the table: name its fuzz target", name)
		}
	}
	used := map[string]bool{}
	for _, target := range others {
		used[target] = true
	}
	for name, target := range fuzzed {
		assert.True(t, s.functions[name], "the table has %s, which does not exist", name)
		if reason, ok := strings.CutPrefix(target, "- "); ok {
			assert.NotEmpty(t, reason, name)
			continue
		}
		if !strings.Contains(target, ".") {
			dir, _, _ := strings.Cut(name, ".")
			target = dir + "." + target
		}
		assert.Contains(t, s.targets, target, "the target of %s", name)
		used[target] = true
	}
	for target, seeded := range s.targets {
		assert.True(t, used[target], "%s is nobody's target in the table", target)
		assert.True(t, seeded, "%s has no seeds: neither f.Add nor testdata/fuzz", target)
	}
	for target := range used {
		assert.Contains(t, s.targets, target)
	}
}

// ofAnyType is directory.*.method of directory.Type.method.
func ofAnyType(name string) string {
	parts := strings.Split(name, ".")
	if len(parts) != 3 {
		return name
	}
	return parts[0] + ".*." + parts[2]
}

// source is what the files of the module say.
type source struct {
	functions map[string]bool // all, as directory.function or directory.Type.method
	readers   map[string]bool // those of them that read bytes from outside
	targets   map[string]bool // fuzz targets, and whether they have seeds
}

func readSource(t *testing.T) *source {
	t.Helper()
	if _, err := os.Stat("../go.mod"); err != nil {
		t.Skip("no source: this is the compiled test, in another machine")
	}
	s := &source{map[string]bool{}, map[string]bool{}, map[string]bool{}}
	require.NoError(t, filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		if err == nil && d.IsDir() && path != ".." && (strings.HasPrefix(name, ".") || name == "testdata" || name == "bin") {
			return filepath.SkipDir
		}
		if err != nil || d.IsDir() || !strings.HasSuffix(name, ".go") {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		dir, err := filepath.Rel("..", filepath.Dir(path))
		if err != nil {
			return err
		}
		// What the tests read they have made themselves, but for the wire.
		ours := !strings.HasSuffix(name, "_test.go") && !strings.HasPrefix(dir, "tests") && !strings.HasPrefix(dir, "bench") && !strings.HasPrefix(dir, "scripts")
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok {
				s.add(dir, f, ours)
			}
		}
		return nil
	}))
	return s
}

// readerName is how functions are called that make something out of text.
var readerName = regexp.MustCompile(`^(parse|decode|unmarshal|scan|Parse|Decode|Unmarshal|Scan)([A-Z]|$)`)

// readerCall is what they call.
var readerCall = map[string]bool{
	"json.Unmarshal": true, "json.NewDecoder": true, "yaml.Unmarshal": true, "yaml.NewDecoder": true,
	"fmt.Sscan": true, "fmt.Sscanf": true, "bufio.NewScanner": true, "strings.Lines": true, "bytes.Lines": true,
}

func (s *source) add(dir string, f *ast.FuncDecl, ours bool) {
	if f.Recv == nil && strings.HasPrefix(f.Name.Name, "Fuzz") {
		seeds, _ := filepath.Glob(filepath.Join("..", dir, "testdata/fuzz", f.Name.Name, "*"))
		s.targets[dir+"."+f.Name.Name] = len(seeds) > 0 || calls(f, map[string]bool{"f.Add": true})
	}
	if !ours {
		return
	}
	name := dir + "."
	if f.Recv != nil {
		typ := f.Recv.List[0].Type
		if star, ok := typ.(*ast.StarExpr); ok {
			typ = star.X
		}
		if generic, ok := typ.(*ast.IndexExpr); ok {
			typ = generic.X
		}
		name += typ.(*ast.Ident).Name + "."
	}
	name += f.Name.Name
	s.functions[name], s.functions[ofAnyType(name)] = true, true
	if readerName.MatchString(f.Name.Name) && takesText(f) || calls(f, readerCall) {
		s.readers[name] = true
	}
}

// takesText reports whether a parameter is a string, bytes, or a reader.
func takesText(f *ast.FuncDecl) bool {
	for _, p := range f.Type.Params.List {
		switch t := p.Type.(type) {
		case *ast.Ident:
			if t.Name == "string" {
				return true
			}
		case *ast.ArrayType:
			if e, ok := t.Elt.(*ast.Ident); ok && (e.Name == "byte" || e.Name == "string") {
				return true
			}
		case *ast.SelectorExpr:
			if t.Sel.Name == "Reader" || t.Sel.Name == "Node" {
				return true
			}
		}
	}
	return false
}

// calls reports whether f calls one of the functions, package.name.
func calls(f *ast.FuncDecl, names map[string]bool) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			if sel, ok := call.Fun.(*ast.SelectorExpr); ok {
				if x, ok := sel.X.(*ast.Ident); ok && names[x.Name+"."+sel.Sel.Name] {
					found = true
				}
			}
		}
		return !found
	})
	return found
}
