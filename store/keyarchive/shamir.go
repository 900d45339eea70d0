package keyarchive

import (
	"crypto/rand"
	"fmt"
)

// Shamir's scheme byte by byte over GF(2^8) with the polynomial of AES,
// x^8+x^4+x^3+x+1: byte b of a secret is the value at 0 of a polynomial of degree
// needed-1 whose other coefficients are random, and a share is its values at one x.

// Point is a share in the clear: the value at X, which is never 0. Whoever holds it
// wipes it.
type Point struct {
	X uint8
	Y [32]byte
}

// split answers n points of which any k give the secret and fewer say nothing.
func split(secret *[32]byte, k, n int) ([]Point, error) {
	if k < 1 || k > n || n > 255 {
		return nil, fmt.Errorf("%d shares of which %d are needed", n, k)
	}
	coefficients := make([][32]byte, k)
	defer clear(coefficients)
	coefficients[0] = *secret
	for i := 1; i < k; i++ {
		if _, err := rand.Read(coefficients[i][:]); err != nil {
			return nil, fmt.Errorf("randomness: %w", err)
		}
	}
	out := make([]Point, n)
	for i := range out {
		x := uint8(i + 1)
		out[i].X = x
		for b := range secret {
			y := uint8(0)
			for c := k - 1; c >= 0; c-- { // Horner
				y = times(y, x) ^ coefficients[c][b]
			}
			out[i].Y[b] = y
		}
	}
	return out, nil
}

// combine is the value at 0 of the polynomials through these points, whose X are
// distinct and not 0.
func combine(points []Point) (secret [32]byte) {
	for i, p := range points {
		weight := uint8(1) // Lagrange: the product of x/(x-own), and minus is plus
		for j, q := range points {
			if i != j {
				weight = times(weight, times(q.X, inverse(q.X^p.X)))
			}
		}
		for b := range secret {
			secret[b] ^= times(weight, p.Y[b])
		}
	}
	return secret
}

// times multiplies without a table or a branch, so that its time says nothing about
// a secret.
func times(a, b uint8) (product uint8) {
	for range 8 {
		product ^= a & -(b & 1)
		a = a<<1 ^ 0x1b&-(a>>7)
		b >>= 1
	}
	return product
}

// inverse is a^254; that of 0 is 0.
func inverse(a uint8) uint8 {
	out := uint8(1)
	for range 7 { // 254 is 11111110 in binary
		a = times(a, a)
		out = times(out, a)
	}
	return out
}
