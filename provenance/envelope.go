package provenance

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/secure-systems-lab/go-securesystemslib/dsse"

	"github.com/solera-ml/solera"
)

// Sign returns the statement in a DSSE envelope, as JSON. Equal statements and
// keys give equal bytes: ed25519 draws no random numbers.
func Sign(s Statement, key Key) ([]byte, error) {
	payload, err := s.Payload()
	if err != nil {
		return nil, err
	}
	if key.private == nil {
		return nil, fmt.Errorf("sign: %w: key %s has no private half", solera.ErrInvalid, key.ID())
	}
	signer, err := dsse.NewEnvelopeSigner(signerVerifier{key})
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	envelope, err := signer.SignPayload(context.Background(), PayloadType, payload)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return json.Marshal(envelope)
}

// An Envelope is a signed statement as it was read. Nothing in it is to be
// believed before Verify has returned it.
type Envelope struct {
	envelope dsse.Envelope
	payload  []byte
}

// ParseEnvelope reads the JSON of an envelope. What is no DSSE envelope of an
// in-toto statement is ErrInvalid.
func ParseEnvelope(b []byte) (Envelope, error) {
	bad := func(format string, args ...any) (Envelope, error) {
		return Envelope{}, fmt.Errorf("envelope: %w: %s", solera.ErrInvalid, fmt.Sprintf(format, args...))
	}
	var e Envelope
	d := json.NewDecoder(bytes.NewReader(b))
	if err := d.Decode(&e.envelope); err != nil {
		return bad("%v", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return bad("something follows it")
	}
	if e.envelope.PayloadType != PayloadType {
		return bad("its payload is %q, want %s", e.envelope.PayloadType, PayloadType)
	}
	var err error
	if e.payload, err = e.envelope.DecodeB64Payload(); err != nil {
		return bad("the payload is not base64")
	}
	if len(e.envelope.Signatures) == 0 {
		return bad("it has no signature")
	}
	return e, nil
}

// Payload returns the bytes that were signed, unverified.
func (e Envelope) Payload() []byte { return e.payload }

// KeyIDs returns which keys the envelope says have signed it, unverified.
func (e Envelope) KeyIDs() []string {
	var ids []string
	for _, s := range e.envelope.Signatures {
		ids = append(ids, s.KeyID)
	}
	return ids
}

// Verify returns the statement and the first of the keys that has signed it. If
// none has, the error wraps solera.ErrCorrupt. A signature that holds over
// something that is no statement of ours is ErrInvalid.
func (e Envelope) Verify(keys []Key) (Statement, Key, error) {
	// A key twice would make the library print; a key not named by the envelope
	// cannot have signed it.
	var named []dsse.Verifier
	var seen []string
	for _, key := range keys {
		if !slices.Contains(seen, key.ID()) && slices.Contains(e.KeyIDs(), key.ID()) {
			seen = append(seen, key.ID())
			named = append(named, signerVerifier{key})
		}
	}
	if len(named) == 0 {
		return Statement{}, Key{}, fmt.Errorf("%w: it says that key %s signed it, which is not among those to trust", solera.ErrCorrupt, short(e.KeyIDs()))
	}
	verifier, err := dsse.NewEnvelopeVerifier(named...)
	if err != nil {
		return Statement{}, Key{}, fmt.Errorf("verify: %w", err)
	}
	accepted, payload, err := verifier.VerifyAndDecode(context.Background(), &e.envelope)
	if err != nil || len(accepted) == 0 {
		return Statement{}, Key{}, fmt.Errorf("%w: key %s did not sign this", solera.ErrCorrupt, short(seen))
	}
	i := slices.IndexFunc(keys, func(k Key) bool { return k.ID() == accepted[0].KeyID })
	s, err := ParseStatement(payload)
	return s, keys[i], err
}

// short names keys for people.
func short(ids []string) string {
	var list []string
	for _, id := range ids[:min(len(ids), 3)] {
		list = append(list, fmt.Sprintf("%.16q", id))
	}
	return strings.Join(list, ", ")
}

// signerVerifier is a Key as package dsse wants it.
type signerVerifier struct{ key Key }

var _ dsse.SignerVerifier = signerVerifier{}

func (s signerVerifier) Sign(_ context.Context, data []byte) ([]byte, error) {
	return ed25519.Sign(s.key.private, data), nil
}

func (s signerVerifier) Verify(_ context.Context, data, sig []byte) error {
	if !ed25519.Verify(s.key.public, data, sig) {
		return solera.ErrCorrupt
	}
	return nil
}

func (s signerVerifier) KeyID() (string, error)   { return s.key.ID(), nil }
func (s signerVerifier) Public() crypto.PublicKey { return s.key.public }
