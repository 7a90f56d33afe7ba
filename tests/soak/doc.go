// Package soak runs many jobs of all kinds and looks for what adds up.
package soak
