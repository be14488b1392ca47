// Package e2e holds the end-to-end tests: real processes of the built binary, driven over HTTP and the command line as an
// outside user would, killed and started again.
//
// It may import deploy/teststores and the clients of the stores, to prepare and to empty them, and none of the packages that
// it tests: drive runs the program from outside, and expected amounts come from oracle, written from the pricing rules with math/big.
//
// E2E_SEED repeats a run's random numbers, E2E_BINARY names a program that is already built, E2E_SERVERS a set of servers
// (deploy/servers) that is already started and may be killed, TOLLSTREAM_TEST_FOCUS the file with real bill rows.
//
// Invariants: no result depends on timing, every wait is a question repeated until a generous deadline; what is random comes
// from a seed that a failure prints; every process that a test starts is gone when the test ends.
package e2e
