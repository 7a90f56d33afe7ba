package idmap

import (
	"bufio"
	"errors"
	"io"
	"strconv"
	"strings"
)

// Names reads the text of /etc/passwd and returns the login names that have uid,
// in the order of the file and at most eight, for [Owner]. Lines that are
// malformed or longer than 1023 bytes name nobody. Users known only to a directory
// service are not in the file.
func Names(passwd io.Reader, uid uint32) ([]string, error) {
	const most = 8
	want := strconv.FormatUint(uint64(uid), 10)
	br := bufio.NewReaderSize(passwd, maxSubLine+1)
	var names []string
	for len(names) < most {
		line, tooLong, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return names, err
		}
		f := strings.SplitN(line, ":", 4)
		if !tooLong && len(f) == 4 && f[0] != "" && f[2] == want {
			names = append(names, f[0])
		}
		if err != nil {
			break
		}
	}
	return names, nil
}
