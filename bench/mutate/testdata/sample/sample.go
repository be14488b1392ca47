// Package sample is changed by the test of the command.
package sample

// Fee is 2 below ten, else 1 a piece, and never above twenty.
func Fee(n int) int {
	fee := n
	if n < 10 && n > 0 {
		fee = 2
	}
	if fee > 20 {
		fee = 20
	}
	return fee
}

// Both adds what tests do not look at.
func Both(a, b int) int { return a + b }
