// What the caller may ask for, once the request is understood.
#pragma once

namespace llm {

class LlmRequest;

// Resolves the key's own names of models, checks the model against its lists, and finds out for
// which customer the request is. False: the request was refused.
bool authorize(LlmRequest &request);

}  // namespace llm
