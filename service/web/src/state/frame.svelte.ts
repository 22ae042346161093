// What the frame shows of the view inside it: the way back.

export interface Crumb {
  title: string;
  href?: string;
}

class Frame {
  /** From the outermost to the view itself, which has no link. */
  crumbs = $state.raw<Crumb[]>([]);

  /** Shows the way to a view until the returned function is called: `$effect(() => frame.show([…]))`. */
  show(crumbs: Crumb[]): () => void {
    this.crumbs = crumbs;
    return () => {
      if (this.crumbs === crumbs) this.crumbs = [];
    };
  }
}

export const frame = new Frame();
