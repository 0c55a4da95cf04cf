// What a client may say that a target has no member for: hints are left out and named, what
// changes the answer is refused.
#pragma once

#include "translators/dialect/render_job.hpp"

namespace llm {

// Who asks and how urgently, how long and how parallel the answer is to be, cache marks.
void note_hints(const RenderJob &job);

// Members that the IR does not model. `takes`: the target knows one of this name.
Status leave_out_extras(const RenderJob &job, bool (*takes)(std::string_view name));

// The names that a client knows a wish by: structured output, thinking, stop sequences, a file.
std::string_view output_name(DialectId client);
std::string_view thinking_name(DialectId client);
std::string_view stop_name(DialectId client);
std::string_view file_name(DialectId client);
// Thoughts of its history.
std::string_view thoughts_name(DialectId client);

// A block of thinking that is not sent leaves something out.
bool says_anything(const ir::Reasoning &reasoning);

// A trailing assistant turn that the client wants continued: those of OpenAI's dialects do not, and
// calls are answered behind theirs.
bool has_prefill(const ir::Request &request);
// The same, whoever the client is.
bool ends_with_assistant(const ir::Request &request);

}  // namespace llm
