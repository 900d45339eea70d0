// Package client is the public Go client of a Sago appliance.
//
// A [Context] says where the nodes are, which certificate authority and node
// keys belong to the cluster, and who the caller is. [Open] makes a [Client]
// from it; its methods are the calls of the API (proto/sago/v1), which answer
// the generated messages.
//
// The client trusts no single node. It guarantees that
//
//   - it talks only to servers whose certificate the context's authority issued
//     for servers, whatever the host's wall clock says about dates,
//   - documents reach the caller's hands together with a nil error only when
//     their SHA-256 values are the answered fingerprints; otherwise the error
//     wraps [ErrIntegrity],
//   - the receipt of a put names the fingerprint of the bytes that were sent,
//   - a checkpoint or proof is answered only when a majority of the pinned node
//     keys signed it for this cluster, and every element of it verified; with a
//     [Memory], only when it contains what was seen before, or else the error is a
//     *[RollbackError] or *[ForkError], and
//   - a refusal is a *[Error] with the appliance's reason code.
//
// Calls go to the context's endpoints in order and move on when one is
// unavailable. Every call takes its time limit from its context.
package client
