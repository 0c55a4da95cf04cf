// OpenRouter's reasoning_details: a list of {type, text | summary | data, signature, format, index,
// id}, which it wants back as it gave it. In the IR each is a block of reasoning, and all of it but
// the text is one opaque value, the mark: the JSON of the other members, kept as a signature is (as
// `redacted` where there is no text at all). A mark is good where traits.reasoning_details say so.
#pragma once

#include <string>
#include <vector>

#include "translators/dialect/dialect.hpp"

namespace llm::openai {

// Text or summary.
JsonText detail_text(json::Value detail);
// Its thoughts are hidden: a block of their own, without text.
bool is_hidden_detail(json::Value detail);
bool has_detail_text(json::Value details);

// The mark of a detail that came in fragments: members that say nothing new stay as they are.
class DetailMark {
  public:
    bool empty() const { return members_.empty(); }
    // Is this fragment of another detail than those before?
    bool is_other(json::Value fragment) const;
    // False: it is too large to be kept.
    bool add(json::Value fragment);
    void clear() { members_.clear(); }
    size_t memory() const;
    // Lives in the arena.
    JsonText text(Arena &arena) const;

  private:
    struct Member {
        std::string name;  // escaped
        std::string value;
    };
    const Member *find(std::string_view name) const;

    std::vector<Member> members_;
};

// A whole detail in the IR.
ir::Reasoning read_detail(json::Value detail, Arena &arena);

// The member with the details of a turn; false, and nothing written, when it has none.
bool write_details(const ir::Turn &turn, json::Reader &reader, Arena &arena, json::Writer &writer);

}  // namespace llm::openai
