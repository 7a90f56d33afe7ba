// Package net holds the end-to-end tests of the network of jobs, in a network
// of their own: nothing outside is ever contacted.
package net
