package main

import "errors"

var errLater = errors.New("not supported by this version")

func judge([]string) int { return fail(errLater, "") }

func replay([]string) int { return fail(errLater, "") }
