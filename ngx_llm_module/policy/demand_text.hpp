// What a refusal by a limit says: in $llm_limit_status, in metrics and logs, to the client. Plain
// C++ without nginx.
#pragma once

#include <string>
#include <string_view>

#include "ngx_llm_module/policy/store.hpp"

namespace llm {

// "refused rpm"
std::string_view status_name(const Demand &demand);
// "rpm"
std::string_view limit_word(const Demand &demand);

// "60 requests in 60 seconds", "$10 per month"
std::string describe(const Demand &demand);

// For the client. `wait_ms` as in Verdict.
std::string refusal_of(const Demand &demand, int64_t wait_ms);

// As OpenAI writes a time: 6m0s, 1.5s, 20ms.
std::string render_wait(int64_t ms);

}  // namespace llm
