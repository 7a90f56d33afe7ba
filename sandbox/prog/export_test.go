package prog

// OwnKeyring is [Keyring] for a job that does not do with its spawner's.
func OwnKeyring() []Step {
	steps := Keyring()
	for i := range steps {
		steps[i].inherit = false
	}
	return steps
}

// ParseAnswer reads a spawner's answer.
var ParseAnswer = parseAnswer

// ForkAheadAgain is [ForkAhead] in a process that has launched before.
var ForkAheadAgain = forkAhead

// AheadRoom is the longest program of an [Ahead].
const AheadRoom = aheadRoom

// Pid waits for the fork.
func (a *Ahead) Pid() int { <-a.forked; return a.pid }
