package main

import (
	"bufio"
	"fmt"
	"os"
)

func main() {
	in := bufio.NewReader(os.Stdin)
	var n, x, best, sum int
	fmt.Fscan(in, &n)
	for i := range n {
		fmt.Fscan(in, &x)
		if i == 0 || x > best {
			best = x
		}
		sum += x
	}
	fmt.Println(best, sum)
}
