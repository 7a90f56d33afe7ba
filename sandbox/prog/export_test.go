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
