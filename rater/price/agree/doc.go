// Package agree holds the product's prices against the oracle's: random cases of rater/price/oracle go through the catalogue's
// documents, resolution, matrices and rater/price, and must cost the same to the last digit.
//
// It has tests only. It stands outside of the oracle, which must not know the code that it is compared with.
package agree
