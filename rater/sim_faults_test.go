package rater

import "github.com/tollstream/tollstream/rater/sink"

// simFaults are the rater's own faults and those of what stands around it.
type simFaults struct {
	Faults
	Sink              sink.Faults
	NoFence           bool // a commit does not check the row
	FenceOnEpochAlone bool // … or only its epoch, after a failover not enough
	UnfencedReads     bool
	ResumeFromGroup   bool // a new owner reads on from the consumer group's offset
	NewerDefinitions  bool // definitions are read newer than activated
	AnyClock          bool // log time is the rater's own clock
	KeepRoutingKey    bool // a retry keeps the routing key of its first try
	InsertNotAtomic   bool // the report store keeps a part of a block that it then refuses
}
