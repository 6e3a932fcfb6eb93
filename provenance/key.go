package provenance

import (
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/solera-ml/solera"
)

// A Key signs, or only verifies when it is a public one. Make one with NewKey,
// LoadKey, MakeKey or ParsePublic.
type Key struct {
	public  ed25519.PublicKey
	private ed25519.PrivateKey // nil for a public key
}

// ID returns the SHA-256 of the public key (DER, PKIX) in hexadecimal: what
// `openssl pkey -pubin -in KEY -outform DER | sha256sum` prints.
func (k Key) ID() string {
	sum := sha256.Sum256(k.der())
	return hex.EncodeToString(sum[:])
}

// Public returns the public key as PEM.
func (k Key) Public() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: k.der()}))
}

func (k Key) der() []byte {
	der, err := x509.MarshalPKIXPublicKey(k.public)
	if err != nil {
		panic(err) // an ed25519 key always has a PKIX form
	}
	return der
}

// NewKey draws a key from random.
func NewKey(random io.Reader) (Key, error) {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := io.ReadFull(random, seed); err != nil {
		return Key{}, fmt.Errorf("make a signing key: read random bytes: %w", err)
	}
	private := ed25519.NewKeyFromSeed(seed)
	return Key{public: private.Public().(ed25519.PublicKey), private: private}, nil
}

// maxKeyFile is far more than a key has: a wrong path may name anything.
const maxKeyFile = 64 << 10

// LoadKey reads the private key in a PEM file (PKCS#8, ed25519). A file that
// others may read is refused: what they can read, they can sign with.
func LoadKey(path string) (Key, error) {
	fail := func(msg, hint string) (Key, error) {
		return Key{}, &solera.InputError{Op: "read the signing key", File: path, Msg: msg, Hint: hint}
	}
	// Before it is opened: a pipe would be waited for.
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fail("it is not a file", "name a PEM file with SOLERA_KEY")
	}
	f, err := os.Open(path)
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	defer f.Close()
	if runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0 {
		return fail(fmt.Sprintf("others may read it (mode %04o)", info.Mode().Perm()), "chmod 600 "+path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return Key{}, fmt.Errorf("read the signing key: %w", err)
	}
	const make = "make one with: openssl genpkey -algorithm ed25519 -out "
	block, _ := pem.Decode(b)
	switch {
	case len(b) > maxKeyFile:
		return fail("it is too large for a key", "name a PEM file with SOLERA_KEY")
	case len(b) == 0:
		return fail("it is empty", "remove it and a new one is made")
	case block == nil:
		return fail("it holds no whole PEM block", "restore it from a backup, or move it away and a new one is made")
	case block.Type == "ENCRYPTED PRIVATE KEY", strings.Contains(block.Headers["Proc-Type"], "ENCRYPTED"):
		return fail("it is encrypted, and there is nobody to ask for the passphrase", "decrypt it: openssl pkey -in "+path+" -out FILE, and set SOLERA_KEY=FILE")
	case block.Type == "PUBLIC KEY":
		return fail("it is a public key, which cannot sign", "name the private one with SOLERA_KEY")
	case block.Type != "PRIVATE KEY":
		return fail(fmt.Sprintf("it is a %q, not a PKCS#8 private key", block.Type), make+"FILE, and set SOLERA_KEY=FILE")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return fail("it is damaged: "+err.Error(), "restore it from a backup, or move it away and a new one is made")
	}
	private, ok := parsed.(ed25519.PrivateKey)
	if !ok {
		return fail(fmt.Sprintf("it is a %T, not an ed25519 key", parsed), make+"FILE, and set SOLERA_KEY=FILE")
	}
	return Key{public: private.Public().(ed25519.PublicKey), private: private}, nil
}

// MakeKey returns the key in the file at path; if there is none, it draws one
// and writes it, readable by its owner alone. Processes that call it at once
// all get the same key. The folder of path is made.
func MakeKey(path string, random io.Reader) (key Key, made bool, err error) {
	key, err = LoadKey(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	fail := func(err error) (Key, bool, error) {
		return Key{}, false, fmt.Errorf("make the signing key: %w", err)
	}
	if key, err = NewKey(random); err != nil {
		return Key{}, false, err
	}
	der, err := x509.MarshalPKCS8PrivateKey(key.private)
	if err != nil {
		return fail(err)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fail(err)
	}
	tmp, err := os.CreateTemp(folder, ".signing-*.tmp") // mode 0600
	if err != nil {
		return fail(err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	if err == nil {
		err = tmp.Sync()
	}
	if err = errors.Join(err, tmp.Close()); err != nil {
		return fail(err)
	}
	// A link, unlike a rename, fails when somebody else was faster: whole or not
	// at all, and the first one stays.
	err = os.Link(tmp.Name(), path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		// A file system without links: take the name first.
		err = claim(tmp.Name(), path)
	}
	if errors.Is(err, fs.ErrExist) {
		key, err = LoadKey(path)
		return key, false, err
	}
	if err != nil {
		return fail(err)
	}
	return key, true, nil
}

// claim renames from to path unless somebody holds path already, where no link
// can tell. The lock beside it is there for the moment of the rename.
func claim(from, path string) error {
	lock := path + ".lock"
	f, err := os.OpenFile(lock, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		if errors.Is(err, fs.ErrExist) {
			return fmt.Errorf("%s: another process makes the key; try again, or remove this file if none does", lock)
		}
		return err
	}
	defer os.Remove(lock)
	f.Close()
	if _, err := os.Lstat(path); err == nil {
		return fs.ErrExist
	}
	return os.Rename(from, path)
}

// ParsePublic reads a public key in PEM, PKIX, ed25519.
func ParsePublic(text string) (Key, error) {
	bad := func(msg string) (Key, error) {
		return Key{}, fmt.Errorf("public key: %w: %s", solera.ErrInvalid, msg)
	}
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return bad("it holds no PEM block; want one that begins -----BEGIN PUBLIC KEY-----")
	}
	if strings.Contains(block.Type, "PRIVATE KEY") {
		return bad("it is a private key; keep it to yourself and give its public half: openssl pkey -in KEY -pubout")
	}
	parsed, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return bad(err.Error())
	}
	public, ok := parsed.(ed25519.PublicKey)
	if !ok {
		return bad(fmt.Sprintf("it is a %T, not an ed25519 key", parsed))
	}
	return Key{public: public}, nil
}

// String returns the ID, so that no format verb prints a private key.
func (k Key) String() string { return k.ID() }

// GoString is String.
func (k Key) GoString() string { return k.ID() }
