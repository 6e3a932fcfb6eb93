package auth

import (
	"context"
	"encoding/base64"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/solera-ml/solera"
)

// Cost of hashing a password with argon2id: the second choice of the OWASP
// sheet for password storage, some 40 ms of one core.
const (
	hashTime   = 2
	hashMemory = 19 << 10 // KiB
	hashLanes  = 1
	hashSalt   = 16 // bytes
	hashLength = 32 // bytes
	hashPrefix = "argon2id$v=19$m=19456,t=2,p=1$"
)

// Lengths of a password. Nothing else is asked of it: length is what counts.
const (
	minPassword = 12  // characters
	maxPassword = 512 // bytes
)

// CheckPassword reports ErrInvalid for a password that is too short or too
// long.
func CheckPassword(password string) error {
	switch {
	case utf8.RuneCountInString(password) < minPassword:
		return fmt.Errorf("password: %w: want at least %d characters", solera.ErrInvalid, minPassword)
	case len(password) > maxPassword || !utf8.ValidString(password):
		return fmt.Errorf("password: %w: want at most %d bytes of UTF-8", solera.ErrInvalid, maxPassword)
	}
	return nil
}

// hash returns what is kept of a password: "" of none.
func (a *Accounts) hash(ctx context.Context, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	if err := CheckPassword(password); err != nil {
		return "", err
	}
	salt := make([]byte, hashSalt)
	if _, err := io.ReadFull(a.random, salt); err != nil {
		return "", fmt.Errorf("read random bytes: %w", err)
	}
	sum, err := a.derive(ctx, password, salt)
	if err != nil {
		return "", err
	}
	enc := base64.RawStdEncoding
	return hashPrefix + enc.EncodeToString(salt) + "$" + enc.EncodeToString(sum), nil
}

// derive hashes, a few at a time: each takes 19 MiB.
func (a *Accounts) derive(ctx context.Context, password string, salt []byte) ([]byte, error) {
	select {
	case a.hashes <- struct{}{}:
		defer func() { <-a.hashes }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return argon2.IDKey([]byte(password), salt, hashTime, hashMemory, hashLanes, hashLength), nil
}

// matches tells whether hash is that of password. Of a user without password,
// or of nobody, the answer takes as long.
func (a *Accounts) matches(ctx context.Context, password, hash string) (bool, error) {
	if len(password) > maxPassword {
		return false, nil
	}
	var salt, want []byte
	ok := false
	if rest, found := strings.CutPrefix(hash, hashPrefix); found {
		text, sum, _ := strings.Cut(rest, "$")
		var errSalt, errSum error
		salt, errSalt = base64.RawStdEncoding.DecodeString(text)
		want, errSum = base64.RawStdEncoding.DecodeString(sum)
		ok = errSalt == nil && errSum == nil && len(want) == hashLength
	}
	if !ok {
		salt, want = make([]byte, hashSalt), make([]byte, hashLength)
	}
	got, err := a.derive(ctx, password, salt)
	if err != nil {
		return false, err
	}
	return equal(string(got), string(want)) && ok, nil
}
