// What a request's ledger entry adds to what is kept of all requests.
#pragma once

namespace llm {

class LlmRequest;

// Once for each request, when its ledger is closed (settle).
void book_metrics(const LlmRequest &request);
void book_spent(const LlmRequest &request);
// The present deployment's attempts, when the request goes on without it.
void book_attempts(LlmRequest &request);
// A request to a location of ours that nginx answered before it became one of ours.
void book_refused();

}  // namespace llm
