// Answers that need no provider: the list of models, health, and "yes, there is somebody here".
#pragma once

namespace llm {

class LlmRequest;

void answer_locally(LlmRequest &request);

// count_tokens: whether a provider can do it, and what is said where none can. The estimate is
// labelled by the header x-llm-token-count.
bool can_count(const LlmRequest &request);
void answer_estimated_count(LlmRequest &request);

}  // namespace llm
