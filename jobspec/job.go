package jobspec

import "errors"

// A Job is one entry of jobs:, of templates: or defaults:. A nil or empty field
// was not given and leaves what the templates and the defaults say.
type Job struct {
	Description string `yaml:"description" doc:"what the job is for; shown in reports"`
	Extends     Names  `yaml:"extends" doc:"template or templates whose fields this job starts from, the last wins"`
	Run         Words  `yaml:"run" doc:"the program and its arguments; no shell is involved"`

	Needs    Names               `yaml:"needs" doc:"jobs that must have passed before this one starts; of a matrix those with the same values"`
	Priority *int                `yaml:"priority" doc:"higher starts earlier; equal ones in the order of the file (default 0)"`
	Matrix   Matrix              `yaml:"matrix" doc:"one job for each combination of values; ${matrix.NAME} is the value"`
	Exclude  []map[string]string `yaml:"exclude" doc:"combinations of the matrix that are left out"`
	Foreach  *Foreach            `yaml:"foreach" doc:"one job for each test case: a glob of inputs, a directory of pairs or a list; ${case.name} is its name"`
	StopOn   StopOn              `yaml:"stop-on" doc:"failure: after a case that does not pass, the other cases of the same combination that have not started are skipped; without cases the other combinations (default never)"`
	Retry    *Retries            `yaml:"retry" doc:"further attempts if jailrun itself failed (verdicts error and killed), never for what the program did (default 0)"`
	Pin      *bool               `yaml:"pin" doc:"give the job a CPU of its own while it runs, for stable times"`

	Step    Step              `yaml:"step" doc:"compile: a failure is a compile error (CE) of all that needs this job"`
	Cache   *bool             `yaml:"cache" doc:"take outputs from an earlier run with the same inputs, root and fields; needs cwd: none"`
	Inputs  map[string]Output `yaml:"inputs" doc:"place inside: JOB.OUTPUT, what an earlier job left; adds JOB to needs"`
	Outputs map[string]string `yaml:"outputs" doc:"name: place inside of a file that other jobs may use, kept by its content hash"`

	Input  *string `yaml:"input" doc:"text given as standard input"`
	Stdin  string  `yaml:"stdin" doc:"file given as standard input, or null"`
	Stdout string  `yaml:"stdout" doc:"name of an output that holds the standard output"`
	Stderr string  `yaml:"stderr" doc:"name of an output that holds the standard error"`

	Check      *Check    `yaml:"check" doc:"how the output is judged: a checker's name, or its fields; without it exit status 0 passes"`
	Answer     string    `yaml:"answer" doc:"file with the expected output"`
	AnswerText *string   `yaml:"answer-text" doc:"the expected output itself"`
	Expect     Codes     `yaml:"expect" doc:"verdicts that count as passed, AC (default), WA, TLE, MLE, OLE, RE, CE"`
	Points     *float64  `yaml:"points" doc:"points for AC"`
	Group      string    `yaml:"group" doc:"name of the group (subtask) under groups: that the points count in"`
	Interact   *Interact `yaml:"interact" doc:"instead of run: programs that talk to each other through pipes"`

	Flags
}

// Words is a command, a list of words.
type Words []string

// Names is one name or a list of names.
type Names []string

// Matrix maps names to the values they take, in the order of the file.
type Matrix []Axis

// An Axis is one name of a matrix.
type Axis struct {
	Name   string
	Values []string
}

// StopOn says when the rest of a job's cases is skipped.
type StopOn string

func (s *StopOn) parse(text string) (err error) {
	*(*string)(s), err = choose(text, s.words()...)
	return err
}

func (*StopOn) words() []string { return []string{"never", "failure"} }

// Step is what kind of step a job is.
type Step string

func (s *Step) parse(text string) (err error) {
	*(*string)(s), err = choose(text, s.words()...)
	return err
}

func (*Step) words() []string { return []string{"run", "compile"} }

// Output names an output of a job, JOB.OUTPUT.
type Output string

func (o *Output) parse(text string) error {
	*o = Output(text)
	if job, name := o.Split(); !validName(job) || !validName(name) {
		return errors.New(quote(text) + " names no output; want JOB.OUTPUT, such as compile.bin")
	}
	return nil
}

// Split returns the job and the output.
func (o Output) Split() (job, output string) {
	for i := len(o) - 1; i >= 0; i-- {
		if o[i] == '.' {
			return string(o[:i]), string(o[i+1:])
		}
	}
	return "", ""
}

// Code is the verdict of a judge.
type Code string

// The codes.
const (
	Accepted     Code = "AC"
	WrongAnswer  Code = "WA"
	TimeLimit    Code = "TLE"
	MemoryLimit  Code = "MLE"
	OutputLimit  Code = "OLE"
	RuntimeError Code = "RE"
	CompileError Code = "CE"
	Internal     Code = "IE" // jailrun's fault or the judge's, never the program's
	Skipped      Code = "SK" // never started
)

func (c *Code) parse(text string) (err error) {
	*(*string)(c), err = choose(text, c.words()...)
	return err
}

func (*Code) words() []string { return []string{"AC", "WA", "TLE", "MLE", "OLE", "RE", "CE"} }

// Codes is one code or a list.
type Codes []Code

// A Check says how the output is judged.
type Check struct {
	Checker    Checker           `yaml:"checker" doc:"exact, lines (ends of lines and of the file may differ in blanks), tokens, floats, unordered (lines in any order), regex, program"`
	IgnoreCase bool              `yaml:"ignore-case" doc:"letters of either case are the same (lines, tokens, floats, unordered)"`
	Abs        *float64          `yaml:"abs" doc:"floats: absolute error that is allowed (default 1e-6)"`
	Rel        *float64          `yaml:"rel" doc:"floats: relative error that is allowed (default 1e-6)"`
	Pattern    string            `yaml:"pattern" doc:"regex: what the whole output must match (RE2)"`
	Program    Words             `yaml:"program" doc:"program: the checker, run in a sandbox of its own with the files input, output and answer"`
	Convention Convention        `yaml:"convention" doc:"program: kattis (exit 42 accepts, 43 rejects) or testlib (0 accepts, 1 and 2 reject)"`
	Inputs     map[string]Output `yaml:"inputs" doc:"program: place inside: JOB.OUTPUT, such as the compiled checker"`
	File       map[string]string `yaml:"file" doc:"program: place inside: text of a file there, or @NAME, as for jobs"`
	Mem        *Memory           `yaml:"mem" doc:"program: its memory"`
	Wall       *Duration         `yaml:"wall" doc:"program: its wall clock (default 60s)"`
}

// Checker is the name of a way to compare.
type Checker string

func (c *Checker) parse(text string) (err error) {
	*(*string)(c), err = choose(text, c.words()...)
	return err
}

func (*Checker) words() []string {
	return []string{"exact", "lines", "tokens", "floats", "unordered", "regex", "program"}
}

// Convention is how a checker or an interactor says what it found.
type Convention string

func (c *Convention) parse(text string) (err error) {
	*(*string)(c), err = choose(text, c.words()...)
	return err
}

func (*Convention) words() []string { return []string{"kattis", "testlib"} }

// Foreach says where test cases come from.
type Foreach struct {
	Glob   string `yaml:"glob" doc:"input files, as tests/*.in; the answer is the file beside with the suffix of answer, if it exists"`
	Dir    string `yaml:"dir" doc:"a directory of pairs NAME.in and NAME.ans or NAME.out"`
	Answer string `yaml:"answer" doc:"suffix of answer files (default .ans, else .out)"`
	List   []Case `yaml:"list" doc:"the cases themselves"`
}

// A Case is one test case.
type Case struct {
	Name       string   `yaml:"name" doc:"name of the case; letters, digits and ._-"`
	Input      *string  `yaml:"input" doc:"text given as standard input"`
	Stdin      string   `yaml:"stdin" doc:"file given as standard input"`
	Answer     string   `yaml:"answer" doc:"file with the expected output"`
	AnswerText *string  `yaml:"answer-text" doc:"the expected output itself"`
	Points     *float64 `yaml:"points" doc:"points for AC"`
	Group      string   `yaml:"group" doc:"the group the points count in"`
}

// Interact connects programs by pipes.
type Interact struct {
	Sides      Sides      `yaml:"sides" doc:"the programs, by name"`
	Pipes      []Pipe     `yaml:"pipes" doc:"NAME > NAME: standard output of the one to standard input of the other; two sides are joined both ways by themselves"`
	Judge      string     `yaml:"judge" doc:"the side that decides by its exit status, by its convention; without it all sides must exit 0"`
	Convention Convention `yaml:"convention" doc:"of the judge: kattis or testlib (default kattis)"`
	Transcript *Bound     `yaml:"transcript" doc:"bytes of the conversation that are kept (default 64k)"`
	Patience   *Duration  `yaml:"patience" doc:"how long all sides may wait for each other before that is a deadlock (default 1s)"`
}

// Sides are the programs of an interaction, in the order of the file.
type Sides []Side

// A Side is one of them.
type Side struct {
	Name   string
	Run    Words             `yaml:"run" doc:"the program and its arguments"`
	Inputs map[string]Output `yaml:"inputs" doc:"place inside: JOB.OUTPUT"`
	Flags
}

// A Pipe leads from one side's output to another's input.
type Pipe struct{ From, To string }

// A Group is a subtask.
type Group struct {
	Points *float64 `yaml:"points" doc:"what the group is worth"`
	Mode   Mode     `yaml:"mode" doc:"all: every case must be AC for the points (default); sum: the points of its cases; min: the worst score of a case, as a part of the points"`
	Needs  Names    `yaml:"needs" doc:"groups that must have all their points before this one gets any"`
}

// Mode is how the cases of a group make its points.
type Mode string

func (m *Mode) parse(text string) (err error) {
	*(*string)(m), err = choose(text, m.words()...)
	return err
}

func (*Mode) words() []string { return []string{"all", "sum", "min"} }

// validName tells whether s may name a job, a case, an output or a side: it
// becomes a part of file names and reports.
func validName(s string) bool {
	if s == "" || len(s) > 200 || s[0] == '.' || s[0] == '-' {
		return false
	}
	for _, c := range []byte(s) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_') {
			return false
		}
	}
	return true
}
