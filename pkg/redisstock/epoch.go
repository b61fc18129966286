package redisstock

import (
	"context"
	"errors"
	"fmt"

	"github.com/seonchak/seonchak/pkg/coupon"
	"github.com/seonchak/seonchak/pkg/planted"
)

// What Redis may say against a document. None of them changed anything, and each comes with coupon.CodeUnavailable: a repeat
// or a fence is the cure, not the caller.
var (
	ErrMissing    = errors.New("redis holds no claim state of this campaign")
	ErrOtherEpoch = errors.New("redis is in another epoch of this campaign, or its epoch is fenced")
	ErrUnsealed   = errors.New("this redis is not the one that owns the epoch")
	ErrNotLoaded  = errors.New("the keys of the epoch are not loaded as the document says")
)

// Prepare makes the keys of an epoch that starts empty. Nothing grants from them until Open; killed before or after, they
// are keys that nobody reads. ErrOtherEpoch when Redis is at this epoch or a later one already.
func (s *Stock) Prepare(ctx context.Context, doc coupon.Document) error {
	k := keysOf(doc.Campaign, doc.Epoch)
	keys := []string{k.meta, k.users, k.count, k.serials, k.pending}
	done, err := s.prepare.Run(ctx, s.client, keys, doc.Epoch, doc.Lo-1).Bool()
	if err != nil {
		return coupon.Unavailable("prepare an epoch in Redis", err)
	}
	if !done {
		return refused("prepare", refOf(doc), ErrOtherEpoch)
	}
	return nil
}

// Open lets a prepared epoch grant, on the Redis whose replication id is the document's seal. It may be repeated: an
// epoch that is open already takes the document as a push. Refused with ErrOtherEpoch, ErrUnsealed or ErrNotLoaded.
func (s *Stock) Open(ctx context.Context, doc coupon.Document) error {
	k := keysOf(doc.Campaign, doc.Epoch)
	args := append([]any{doc.Epoch, doc.Version, doc.Seal, doc.Lo - 1, doc.Base}, fields(doc)...)
	answer, err := s.open.Run(ctx, s.client, []string{k.meta, k.users, k.count, k.serials}, args...).Text()
	if err != nil {
		return coupon.Unavailable("open an epoch in Redis", err)
	}
	if answer == "older" {
		_, err := s.Push(ctx, doc)
		return err
	}
	return refusal("open", refOf(doc), answer)
}

// Push brings hi, state, window and per-user limit to an open epoch, unless Redis has this version or a later one. It
// never makes a document: one that is gone means claim state that is gone. Refused with ErrMissing, ErrOtherEpoch or
// ErrUnsealed.
func (s *Stock) Push(ctx context.Context, doc coupon.Document) (coupon.Pushed, error) {
	const what = "push a campaign to Redis"
	k := keysOf(doc.Campaign, doc.Epoch)
	args := []any{
		doc.Epoch, doc.Version, doc.Seal, doc.Hi, string(doc.State),
		doc.OpensAt.UnixMilli(), doc.ClosesAt.UnixMilli(), doc.PerUserLimit,
	}
	reply, err := s.run(ctx, what, s.push, []string{k.meta, k.count}, args)
	if err != nil {
		return coupon.Pushed{}, err
	}
	if len(reply) != 4 {
		return coupon.Pushed{}, badReply(what, reply)
	}
	answer, _ := reply[0].(string)
	version, _ := reply[1].(int64)
	hi, _ := reply[2].(int64)
	count, _ := reply[3].(int64)
	return coupon.Pushed{Version: version, Hi: hi, Last: count}, refusal("push to", refOf(doc), answer)
}

// Fence ends the grants of an epoch for good; its holders are answered as before. It may be repeated. Not fenced, and nothing
// changed, when Redis is in another epoch or holds no document: there it grants nothing of this one already.
func (s *Stock) Fence(ctx context.Context, ref coupon.EpochRef) (fenced bool, err error) {
	fenced, err = s.fence.Run(ctx, s.client, []string{metaKey(ref.Campaign)}, ref.Epoch).Bool()
	if err != nil {
		return false, coupon.Unavailable("fence an epoch in Redis", err)
	}
	return fenced, nil
}

// fields is the document as the meta hash holds it; times are in milliseconds.
func fields(doc coupon.Document) []any {
	if planted.On(planted.NoSeal) {
		doc.Seal = ""
	}
	return []any{
		"version", doc.Version,
		"state", string(doc.State),
		"epoch", doc.Epoch,
		"hi", doc.Hi,
		"lo", doc.Lo,
		"base", doc.Base,
		"seal", doc.Seal,
		"opens", doc.OpensAt.UnixMilli(),
		"closes", doc.ClosesAt.UnixMilli(),
		"per_user", doc.PerUserLimit,
	}
}

func refOf(doc coupon.Document) coupon.EpochRef {
	return coupon.EpochRef{Campaign: doc.Campaign, Epoch: doc.Epoch}
}

// refusal reads the answer of load.lua, open.lua and push.lua.
func refusal(what string, ref coupon.EpochRef, answer string) error {
	switch answer {
	case "loaded", "opened", "held":
		return nil
	case "missing":
		return refused(what, ref, ErrMissing)
	case "other epoch":
		return refused(what, ref, ErrOtherEpoch)
	case "unsealed":
		return refused(what, ref, ErrUnsealed)
	case "not loaded":
		return refused(what, ref, ErrNotLoaded)
	default:
		return badReply(what+" an epoch in Redis", answer)
	}
}

func refused(what string, ref coupon.EpochRef, why error) error {
	return coupon.Unavailable(fmt.Sprintf("%s epoch %d of %s", what, ref.Epoch, ref.Campaign), why)
}
