package provenance

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/solera-ml/solera"
)

func TestKeyIsMadeOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a", "b", "signing.pem")
	first, made, err := MakeKey(path, rand.Reader)
	if err != nil || !made {
		t.Fatalf("made %v, %v", made, err)
	}
	again, made, err := MakeKey(path, rand.Reader)
	if err != nil || made || again.ID() != first.ID() {
		t.Errorf("the second time: made %v, key %v, %v; want the key %v", made, again, err, first)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %04o, want 0600", info.Mode().Perm())
	}
	public, err := ParsePublic(first.Public())
	if err != nil || public.ID() != first.ID() {
		t.Errorf("the public half reads back as %v, %v", public, err)
	}
}

func TestManyAtOnceGetOneKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "solera", "signing.pem")
	ids := make([]string, 32)
	var wg sync.WaitGroup
	for i := range ids {
		wg.Go(func() {
			key, _, err := MakeKey(path, rand.Reader)
			if err != nil {
				t.Error(err)
				return
			}
			ids[i] = key.ID()
		})
	}
	wg.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Fatalf("keys %s and %s", ids[0], id)
		}
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("left in the folder: %v, %v", left, err)
	}
}

func TestClaimTakesANameOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "key")
	for i, want := range []error{nil, fs.ErrExist} {
		from := filepath.Join(dir, "from")
		if err := os.WriteFile(from, []byte{byte(i)}, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := claim(from, path); !errors.Is(err, want) {
			t.Errorf("claim %d: %v, want %v", i, err, want)
		}
	}
	if b, err := os.ReadFile(path); err != nil || !bytes.Equal(b, []byte{0}) {
		t.Errorf("the first did not stay: %v, %v", b, err)
	}
}

func TestWrongKeyFilesAreRefusedWithAMend(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(newKey(t, 1).private)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKCS8PrivateKey(curve)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	good := encode("PRIVATE KEY", private)
	tests := []struct {
		name    string
		content string
		mode    fs.FileMode
		want    string
	}{
		{"readable by others", good, 0o644, "chmod 600"},
		{"readable by the group", good, 0o640, "chmod 600"},
		{"empty", "", 0o600, "it is empty"},
		{"text", "hello\n", 0o600, "no whole PEM block"},
		{"cut off", good[:len(good)-20], 0o600, "no whole PEM block"},
		{"cut inside", encode("PRIVATE KEY", private[:20]), 0o600, "it is damaged"},
		{"encrypted", encode("ENCRYPTED PRIVATE KEY", private), 0o600, "it is encrypted"},
		{"public", newKey(t, 1).Public(), 0o600, "cannot sign"},
		{"of another form", encode("EC PRIVATE KEY", other), 0o600, "openssl genpkey"},
		{"of another kind", encode("PRIVATE KEY", other), 0o600, "not an ed25519 key"},
		{"enormous", strings.Repeat("x", maxKeyFile+1), 0o600, "too large"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if runtime.GOOS == "windows" && test.mode != 0o600 {
				t.Skip("no such modes here")
			}
			path := filepath.Join(t.TempDir(), "key.pem")
			if err := os.WriteFile(path, []byte(test.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, test.mode); err != nil {
				t.Fatal(err)
			}
			for name, load := range map[string]func() (Key, error){
				"load": func() (Key, error) { return LoadKey(path) },
				"make": func() (Key, error) { k, _, err := MakeKey(path, rand.Reader); return k, err },
			} {
				_, err := load()
				var in *solera.InputError
				if !errors.As(err, &in) || !strings.Contains(err.Error(), test.want) || in.Hint == "" || in.File != path {
					t.Errorf("%s: got %v, want %q, the file and a mend", name, err, test.want)
				}
			}
			if b, err := os.ReadFile(path); err != nil || string(b) != test.content {
				t.Error("the file was changed")
			}
		})
	}
	t.Run("a folder", func(t *testing.T) {
		if _, err := LoadKey(t.TempDir()); err == nil {
			t.Error("a folder was read as a key")
		}
	})
	t.Run("not there", func(t *testing.T) {
		if _, err := LoadKey(filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("got %v, want %v", err, fs.ErrNotExist)
		}
	})
	t.Run("no random bytes", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "key.pem")
		if _, _, err := MakeKey(path, strings.NewReader("short")); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("got %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("a key was written")
		}
	})
}

func TestWrongPublicKeysAreRefused(t *testing.T) {
	private, err := x509.MarshalPKCS8PrivateKey(newKey(t, 1).private)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	other, err := x509.MarshalPKIXPublicKey(curve.Public())
	if err != nil {
		t.Fatal(err)
	}
	encode := func(typ string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: typ, Bytes: der}))
	}
	short, err := x509.MarshalPKIXPublicKey(ed25519.PublicKey("short"))
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		"":                                "no PEM block",
		encode("PRIVATE KEY", private):    "keep it to yourself",
		encode("PUBLIC KEY", []byte("x")): "public key",
		encode("PUBLIC KEY", other):       "not an ed25519 key",
		encode("PUBLIC KEY", short):       "public key",
	} {
		if _, err := ParsePublic(text); !errors.Is(err, solera.ErrInvalid) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

func TestAPublicKeyCannotSign(t *testing.T) {
	public, err := ParsePublic(newKey(t, 1).Public())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Sign(New(sample(t)), public); !errors.Is(err, solera.ErrInvalid) {
		t.Errorf("got %v, want %v", err, solera.ErrInvalid)
	}
}
