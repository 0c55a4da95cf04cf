// What bodies, streams and observers of the Responses dialect read in the same way: token counts,
// how an answer ended, and citations.
#pragma once

#include <string_view>

#include "translators/core/ir.hpp"
#include "translators/dialect/dialect.hpp"
#include "translators/json/reader.hpp"

namespace llm::responses {

// Items of one answer beyond this many are a protocol error.
constexpr uint32_t kMaxOutput = 4096;

// What a message item is for, where the model tells.
enum class Phase : uint8_t { none, commentary, final_answer };
Phase read_phase(json::Value item);
// Commentary beyond this length is not compared with the answer behind it.
constexpr size_t kMaxCommentary = 64u << 10;

// Replaces `usage` by what the object says. False when it is no usage object.
bool read_usage(json::Value object, Usage &usage);

// How an answer ended, by its `status` and what was in it.
struct Outcome {
    ir::Finish finish = ir::Finish::stop;
    JsonText native;  // the status, or the reason of an incomplete answer
};
Outcome read_outcome(json::Value response, bool has_calls, bool has_only_refusal);

// An annotation of output_text in common terms; false where it has no address (files).
bool read_annotation(json::Value annotation, ir::Citation &citation);

// Seconds, 0 where the answer does not say; some services write a fraction.
int64_t read_created(json::Value response);

// Of an image_generation_call with its result. Static text or a view into the item.
std::string_view image_mime(json::Value item);

}  // namespace llm::responses
