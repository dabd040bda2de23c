// Package queue keeps queues of messages in a lightning.DB: workers claim messages for
// some time, and say that they are done, or that it went wrong and is to be tried again.
//
//	jobs, err := queue.Open(ctx, db, "mail", nil)
//	id, err := jobs.Enqueue(queue.Message{Payload: letter})
//
//	job, err := jobs.Next(ctx) // waits for one
//	if err := send(job.Payload); err != nil {
//		return job.Fail(err) // again later, a few times
//	}
//	return job.Ack()
//
// # What it promises
//
// A message is given to one worker at a time, for the visibility timeout. Who does not
// end it until then loses it: another one may get it. So a message is worked on at least
// once. Where what the worker does is a change of the same database it happens exactly
// once: Queue.In puts Ack into the worker's own transaction. In the same way
// a message can be put into the queue by the transaction that makes it necessary.
//
// Messages are given in the order of their priorities, and of the same priority in the
// order in which Enqueue was called; workers that are faster than others overtake.
//
// # Workers do not meet
//
// No claim waits for another one, and of those that one Queue gives out no two are in
// conflict, however many workers there are: a claim picks messages that nobody in this
// process has picked, looks at nothing but those, and leaves the order to an index that
// it does not read in its transaction. Open a queue once in a process, and share it.
//
// # Thread-safety
//
// A Queue and its Jobs are safe for concurrent use. What Queue.In returns belongs to a
// transaction, which is used by one goroutine at a time.
package queue
