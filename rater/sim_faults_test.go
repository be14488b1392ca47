package rater

import (
	"maps"
	"slices"

	"github.com/tollstream/tollstream/rater/rerate"
	"github.com/tollstream/tollstream/rater/sink"
)

// simFaults are the faults of the rater and of the sinks, and those of what stands around them: rules that SQL, a script or
// another package keeps, and losses on the way from the rater to a store.
type simFaults struct {
	Faults
	Sink sink.Faults
	Cut  cutFaults
	Job  rerate.Faults

	// of the checkpoint's statements
	NoFence             bool // a commit does not check the row
	FenceOnEpochAlone   bool // … or only its epoch, after a failover not enough
	FenceWithoutOffset  bool // … or only its epoch and owner
	UnfencedLines       bool // lines are read without looking at the row
	UnfencedPools       bool // … or pools
	UnfencedValues      bool // … or distinct values
	UnfencedLevels      bool // … or the lines whose levels wait for a seal
	UnfencedSeals       bool // … or seals
	UnfencedIdentities  bool // … or older identities
	FoldingUnseen       bool // … or these without looking whether their days are still folded
	CommitNotAtomic     bool // lines are written though the row was not touched
	ChangesUnseen       bool // lines are read without the changes that commits have appended
	OlderChangeSeen     bool // … or with one that is older than the row
	FoldOverNewer       bool // a change is folded into a row that a later commit has written
	FoldDropsAll        bool // changes that came while others were folded are dropped with these
	ResumeFromGroup     bool // a new owner reads on from the consumer group's offset
	AnyClock            bool // log time is the rater's own clock
	NewerDefinitions    bool // definitions are read newer than activated
	SeqBeforeCommit     bool // a definition's number is seen before the definition
	PublisherTrustsAcks bool // a publisher does not look whether partitions have what the broker acknowledged
	NoLeaderEpochCheck  bool // the reader of usage does not notice that another leader has lost what it has read
	PublisherForgets    bool // a publisher that died between partitions is taken to have reached them all
	KeepRoutingKey      bool // a retry keeps the routing key of its first try
	InsertNotAtomic     bool // the report store keeps a part of a block that it then refuses
	ChildrenLeftOut     bool // a job does not look at the children of an account that changed
	JobGoesBack         bool // a process that has slept saves where a job stood before
	CorrectedAgain      bool // what a correction has left out counts again when usage is summed up later
	ProjectionLosesLine bool // a write to the live view leaves out a line
}

// cutFaults are what a checkpoint may lack or have wrong.
type cutFaults struct {
	LosesLine       bool
	LosesPool       bool
	LosesValue      bool
	LosesSet        bool
	LosesLevel      bool
	LosesRejected   bool
	LosesIdentity   bool
	LosesSeals      bool
	LosesMarkers    bool
	LosesCounts     bool
	LosesLogTime    bool
	LosesActivation bool
	LosesEpoch      bool // of the leader
	OneBelow        bool // the next offset is one too low
	OneAbove        bool // … or too high
	TailOneAbove    bool // the tail of `rated` begins one too late
}

// spoil returns the cut as it reaches PostgreSQL under a fault; some only now and then, as a rare bug would.
func (w *world) spoil(c *Cut) *Cut {
	f := &w.faults.Cut
	if *f == (cutFaults{}) || w.n(4) > 0 {
		return c
	}
	v := *c
	old := w.pg[c.Fence.Partition].c
	switch {
	case f.LosesLine && len(v.Lines) > 0:
		v.Lines = slices.Clone(v.Lines)[1:]
	case f.LosesPool && len(v.Pools) > 0:
		v.Pools = v.Pools[1:]
	case f.LosesValue && len(v.Values) > 0:
		v.Values = v.Values[1:]
	case f.LosesSet && len(v.Sets) > 0:
		v.Sets = nil
	case f.LosesLevel && len(v.Levels) > 0:
		v.Levels = v.Levels[1:]
	case f.LosesRejected && len(v.Rejected) > 0:
		v.Rejected = v.Rejected[1:]
	case f.LosesIdentity && len(v.Identities) > 0:
		v.Identities = v.Identities[1:]
	case f.LosesSeals:
		v.Seals = nil
	case f.LosesMarkers:
		v.Markers = nil
	case f.LosesCounts:
		v.Counts = maps.Clone(v.Counts)
		for k := range v.Counts {
			if k.Currency == "" {
				delete(v.Counts, k)
			}
		}
	case f.LosesLogTime:
		v.LogTime = old.LogTime
	case f.LosesActivation:
		v.ActivatedSeq, v.ActivatedSum = old.ActivatedSeq, old.ActivatedSum
	case f.LosesEpoch:
		v.LeaderEpoch = -1
	case f.OneBelow:
		v.Next, v.Last = v.Next-1, v.Last-1
	case f.OneAbove:
		v.Next++
	case f.TailOneAbove:
		v.RatedNext++
	}
	return &v
}

// spoilProjection is spoil for writes to the live view.
func (w *world) spoilProjection(lines []LineState) []LineState {
	if w.faults.ProjectionLosesLine && len(lines) > 0 && w.n(4) == 0 {
		return lines[1:]
	}
	return lines
}

// ofValues says whether the fault is one of distinct values, which few schedules have many of.
func (f *simFaults) ofValues() bool {
	return f.CountedByPlace || f.ForgottenValueIsNew || f.ValuesOutside || f.UnfencedValues || f.Cut.LosesValue || f.LateValuesTaken
}

// ofSets is ofValues for what is counted anew.
func (f *simFaults) ofSets() bool {
	return f.ValuesUnread || f.BothPartsCount || f.SetsGoneInUse || f.SetsOutside || f.Cut.LosesSet
}

// ofLevels is ofValues for levels that are carried over.
func (f *simFaults) ofLevels() bool {
	return f.LevelsBeginAnew || f.LaterLevelsStay || f.QuietPeriodsFree || f.LevelsOutside || f.UnfencedLevels || f.Cut.LosesLevel
}

// ofCorrections is ofValues for corrections.
func (f *simFaults) ofCorrections() bool {
	return f.AnsweredWaits || f.AnsweredForgotten || f.CorrectedAgain
}

// simSteered are the weights under which rare faults show.
var simSteered = map[string]simSteering{
	"CarryToOriginalBilled":  {"define": 20, "publish": 20, "seal": 20, "time": 40},
	"CutLosesLogTime":        {"crash": 6, "time": 40},
	"WindowWithoutTolerance": {"time": 80},
	"CutLosesSeals":          {"seal": 40},
	"UnfencedLines":          zombies,
	"UnfencedPools":          {"sleep long": 40, "time": 20, "publish": 20, "client": 60, "seal": 2},
	"UnfencedSeals":          zombies,
	"UnfencedValues":         zombies,
	"UnfencedLevels":         {"sleep long": 60, "time": 30, "publish": 20, "client": 40, "seal": 60, "define": 0, "crash": 0},
	"UnfencedIdentities":     failovers,
	"FoldingUnseen":          failovers,
	"KeepRoutingKey":         retries,
	"NoLeaderEpochCheck":     losses,
	"CutLosesEpoch":          losses,
	"PublisherTrustsAcks":    losses,
	"LogOrderAlone":          {"seal": 40, "time": 20},
	"NewerExchange":          {"define": 20, "publish": 20},
	"MarkerAgain":            reratings,
	"ResultOfAnyMarker":      reratings,
	"OlderChangeSeen":        {"rebalance": 30, "client": 40},
	"NoSecondState":          reratings,
	"SecondOutside":          reratings,
	"JobSinkNotAwaited":      reratings,
	"ValuesUnread":           reratings,
	"BothPartsCount":         reratings,
	"SetsGoneInUse":          reratings,
	"SetsOutside":            reratings,
	"CutLosesSet":            reratings,
	"LateValuesTaken":        {"seal": 40, "time": 40},
	"MovedSharesStay":        reratings,
	"LeftSharesForgotten":    reratings,
	"JobPoolsUnsettled":      reratings,
	"AnsweredForgotten":      corrections,
	"AnsweredWaits":          corrections,
	"CorrectedAgain":         corrections,
	"ContinuationStays":      {"rate anew under load": 60, "define": 16, "seal": 12, "time": 10, "lose usage": 0},
}

// reratings are schedules in which much usage is rated anew while more arrives.
var reratings = simSteering{"rate anew under load": 30, "define": 12, "late produce": 6, "fail postgres over": 1, "lose usage": 0}

// corrections are schedules with jobs, see ofCorrections.
var corrections = simSteering{"rate anew under load": 20, "define": 12, "lose usage": 0}

// losses are of usage that the broker has acknowledged.
var losses = simSteering{"lose usage": 12, "rebalance": 16}

// failovers lose the folding of days that a rater has behind filters already, and the rater goes on undisturbed.
var failovers = simSteering{"fail postgres over": 30, "go on": 200, "time": 40, "client": 30, "send again": 30, "crash": 0, "rebalance": 0}

// retries are of usage that stays rejected until then.
var retries = simSteering{"retry": 60, "client": 40, "crash": 0, "rebalance": 0, "fail postgres over": 0}

// zombies wake up when another has rated, sealed and committed on.
var zombies = simSteering{"sleep long": 40, "time": 40, "publish": 20, "client": 14}
