package main

import (
	"os"
	"strconv"
	"strings"

	"github.com/jailrun/jailrun/limits"
)

// A usageError is a command line that cannot be taken as it stands.
type usageError struct{ text, hint string }

func (e *usageError) Error() string { return e.text }

// flagsOf lists the flags of each command.
var flagsOf = map[string]string{
	"import": "name id max-size max-entries q", "pull": "name id max-size max-entries q",
	"list": "format q", "ls": "format q", "rm": "q", "gc": "q",
}

// parse takes the words behind the command apart.
func parse(command string, words []string) (c *call, help bool, err error) {
	c = &call{}
	for i := 0; i < len(words); i++ {
		w := words[i]
		switch {
		case w == "--":
			c.args = append(c.args, words[i+1:]...)
			return c, false, nil
		case w == "-h", w == "--help":
			return nil, true, nil
		case len(w) < 2 || w[0] != '-':
			c.args = append(c.args, w)
			continue
		}
		flag, value, glued := strings.Cut(strings.TrimLeft(w, "-"), "=")
		if !strings.Contains(" "+flagsOf[command]+" ", " "+flag+" ") {
			return nil, false, &usageError{strconv.Quote(w) + " is no flag of image " + command, "jailrun image --help lists them"}
		}
		if flag == "q" || flag == "id" {
			c.quiet, c.id = c.quiet || flag == "q", c.id || flag == "id"
			continue
		}
		if !glued {
			if i++; i == len(words) {
				return nil, false, &usageError{w + " needs a value", ""}
			}
			value = words[i]
		}
		if err := c.set(flag, value); err != nil {
			return nil, false, err
		}
	}
	return c, false, nil
}

func (c *call) set(flag, value string) error {
	switch flag {
	case "name":
		c.name = value
		if value == "" {
			return &usageError{"--name: the value is empty", "--name - gives the image no name"}
		}
	case "format":
		c.json = value == "json"
		if value != "json" && value != "text" {
			return &usageError{"--format: " + strconv.Quote(value) + " is not known; want text or json", ""}
		}
	case "max-size":
		n, err := limits.ParseSize(value)
		if err == nil && n == 0 {
			err = &usageError{strconv.Quote(value) + " leaves nothing", ""}
		}
		if err != nil {
			return &usageError{"--max-size: " + err.Error(), ""}
		}
		c.limits.Bytes = int64(n)
	case "max-entries":
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 {
			return &usageError{"--max-entries: " + strconv.Quote(value) + " is not a number of at least 1", ""}
		}
		c.limits.Entries = n
	}
	return nil
}

// homeOf finds a home in /etc/passwd; "" if it is not there.
func homeOf(uid int) string {
	text, err := os.ReadFile("/etc/passwd")
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if f := strings.Split(line, ":"); len(f) >= 6 && f[2] == strconv.Itoa(uid) {
			return f[5]
		}
	}
	return ""
}
