// Answers that need no provider: the list of models, health, and "yes, there is somebody here".
#pragma once

namespace llm {

class LlmRequest;

void answer_locally(LlmRequest &request);

}  // namespace llm
