// Package service is the gRPC front of a node: it finds out who asks, asks
// package access whether they may, seals what may name a person, proposes the
// operation, and answers what the Machine decided.
//
// It guarantees, given a replication node below it, that
//
//   - nobody is answered whose certificate no authority of the cluster issued, or
//     whose identity and key nobody enrolled (R23); dates are judged by the
//     quorum clock, never by the host's,
//   - no byte of a bundle leaves before its READ record is committed (I3), and
//     none after the tick that passes its deadline,
//   - a refusal for want of permission is a DENY record before it is an answer;
//     in a flood one record per principal, reason and minute, with its count,
//   - nothing of another institution shows: every lookup is made under the
//     caller's own, so that an unknown number and another's answer alike, and
//   - every refusal carries a reason code, with a sentence in Korean and English.
//
// It writes nothing itself: node.Submit is its only way to a change. Logs and
// answers hold no personal data and no keys.
package service
