// What a request costs, and which deployments may serve it when their price is not known.
#pragma once

#include <vector>

#include "translators/core/usage.hpp"
#include "translators/pricing/price.hpp"

namespace llm {

class LlmRequest;

struct Candidate;

// Of the model that the candidate stands for; may be unknown.
Price price_of(const LlmRequest &request, const Candidate &candidate);

// Computes the cost of what the current deployment delivered, once; the ledger keeps it.
void book_cost(LlmRequest &request);

// A stream broke and another attempt goes on with it: what it used so far is kept apart.
void count_earlier(LlmRequest &request);

void add_usage(Usage &to, const Usage &more);

// llm_unknown_price refuse: takes away candidates whose price is not known.
void drop_unpriced(const LlmRequest &request, std::vector<Candidate> &candidates);

// Where an answer tells no tokens, those of the request can be guessed from its length: it is text,
// and asks a model.
bool has_countable_text(const LlmRequest &request);

// The answer, or its last part, did not say how many tokens it took: fills in what was sent and
// delivered, at four bytes a token, as far as it is missing, and marks it as an estimate.
// `is_current`: the provider counted along with the answer, its last word stands.
void estimate_usage(LlmRequest &request, uint64_t content_bytes, bool is_current);

}  // namespace llm
